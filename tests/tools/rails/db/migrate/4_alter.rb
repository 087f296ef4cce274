class Alter < ActiveRecord::Migration[6.1]
  def up
    change_column :books, :page_count, :string, null: false, default: "0"
  end

  def down
    change_column :books, :page_count, :integer, null: false, default: 0
  end
end
