class Drop < ActiveRecord::Migration[6.1]
  def change
    remove_column :authors, :country, :string, limit: 2
  end
end
