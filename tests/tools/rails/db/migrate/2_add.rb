class Add < ActiveRecord::Migration[6.1]
  def change
    add_column :books, :price, :decimal, precision: 8, scale: 2, null: false, default: 0
    add_column :authors, :country, :string, limit: 2
  end
end
