class Unique < ActiveRecord::Migration[6.1]
  def change
    add_index :labels, :name, unique: true
    add_index :books, [:author_id, :title], unique: true
  end
end
